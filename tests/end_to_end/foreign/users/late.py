WHO = "the late module of users"
