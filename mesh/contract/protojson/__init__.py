"""ProtoJSON in path, query and body, checked more strictly than by the library."""
