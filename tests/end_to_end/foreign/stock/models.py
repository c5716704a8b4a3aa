from pydantic import BaseModel

WHO = "stock"


class Item(BaseModel):
    sku: str
    places: list[str] = ["shelf", "cellar"]
