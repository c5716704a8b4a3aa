WHO = "the inner package of catalog"
