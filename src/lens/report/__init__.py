"""Pages for people: text, HTML and the outputs of continuous integration."""
