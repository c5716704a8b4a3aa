WHO = "the plugin of events"
