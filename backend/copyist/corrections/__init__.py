"""What people correct: laid over a reading, and found in a corrected text file or PAGE XML. Values in, values out."""
