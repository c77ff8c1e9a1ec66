"""What the command and `import dueby` read: manifests, and profiles in files."""
