from dataclasses import dataclass, field

WHO = "events"


@dataclass
class Item:
    topic: str
    tags: list[str] = field(default_factory=list)
