"""Classification of images and of the rows of tables: the task and its parts."""
