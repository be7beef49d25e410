"""Networks of classification and regression; each is built from numbers and names its layers."""
