from dataclasses import dataclass

WHO = "accounts"


@dataclass(frozen=True)
class Item:
    name: str
    balance: int
