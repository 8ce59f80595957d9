//! What fuzzing has found worth keeping, once more.

use std::path::Path;

#[test]
fn every_input_of_the_corpus_behaves() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in ferroce_fuzz::TARGETS {
        let folder = corpus.join(name);
        let mut files: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() > 20, "{} holds {} inputs", folder.display(), files.len());
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            println!("{}", file.display());
            target(&bytes);
        }
    }
}
