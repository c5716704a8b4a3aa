from . import names

WHO = names.WHO
