from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

WHO = "users"


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(80))
