WHO = "the plugin of users"
