WHO = "vault"
