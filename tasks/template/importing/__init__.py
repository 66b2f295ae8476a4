"""Template sets from elsewhere, written in this project's format: promptsource's files and FLAN-style lists."""
