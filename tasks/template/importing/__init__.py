"""Import template sets of other formats: promptsource's files and FLAN-style lists."""
