from tasks.core import moved

moved.install()
