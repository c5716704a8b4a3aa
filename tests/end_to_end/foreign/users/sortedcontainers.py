# A file of this service's own that is named like an installed package.
WHO = "a local file"
