"""google.api.http path templates, and the router over them."""
