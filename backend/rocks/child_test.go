package rocks

// runChild is what the test binary does as a child of a test.
func runChild(task string) int { return 2 }
