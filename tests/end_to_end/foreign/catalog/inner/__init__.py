from .deep import WHO as WHO
