WHO = "the plugin of catalog"
