package demand

// Remembered returns how many pods the index holds an answer for.
func (x *Index) Remembered() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.pods)
}
