WHERE = "pth"
