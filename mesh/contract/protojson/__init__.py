"""ProtoJSON in path, query and body, checked more strictly than the library does."""
