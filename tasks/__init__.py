from tasks.serving import moved

moved.install()
