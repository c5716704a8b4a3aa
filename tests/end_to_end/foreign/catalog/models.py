from pydantic import BaseModel
from sqlalchemy import Column, Integer, MetaData, Table, Text

WHO = "catalog"

metadata = MetaData()
items = Table("items", metadata, Column("id", Integer, primary_key=True), Column("title", Text))


class Item(BaseModel):
    title: str
    price: float = 1.5
