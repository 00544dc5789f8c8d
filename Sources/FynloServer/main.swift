print(EmbeddedFiles.all.map(\.name))
