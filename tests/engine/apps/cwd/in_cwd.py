WHERE = "cwd"
