print("fynlo")
