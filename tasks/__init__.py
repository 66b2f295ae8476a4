from tasks.register import moved

moved.install()
