"""What is made from the classes and tables of dueby_api: the CRDs, and the page of conditions and reasons."""
