"""How Eclipse is reached: the door to .NET, the thread that owns ESAPI, the two hosts, the clinic's configuration."""
