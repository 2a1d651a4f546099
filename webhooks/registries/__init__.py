"""The registries whose notifications can be read, by the name a webhook keeps."""
