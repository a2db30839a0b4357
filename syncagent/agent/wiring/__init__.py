"""The only module that names shells: builds an agent from settings."""
