"""Computing all usage again from the archived segments, beside the books, and comparing."""
