//! `larder init --next`: how it ends where there is nothing to read. What it makes of a real build, the tests with a real
//! Next.js app see.

use crate::dsl::{Larder, Scratch};

async fn run(arguments: &[&str]) -> (i32, String) {
    let mut larder = Larder::run(arguments);
    (larder.exit().await, larder.stderr())
}

#[tokio::test]
async fn a_folder_without_a_build_is_told_of_and_exits_1() {
    let file = Scratch::file("package.json", "{}");
    let folder = std::path::Path::new(file.path()).parent().unwrap().to_str().unwrap().to_owned();
    let (code, said) = run(&["init", "--next", &folder]).await;
    assert!(code == 1 && said.contains("there is no Next.js build"), "{code}: {said}");
    let (code, said) = run(&["init", "--next", "/nowhere/at/all"]).await;
    assert!(code == 1 && said.contains("there is no such folder"), "{code}: {said}");
    let (code, said) = run(&["init"]).await;
    assert!(code == 1 && said.contains("--next"), "{code}: {said}");
}

#[tokio::test]
async fn a_manifest_that_is_broken_is_named() {
    let file = Scratch::file("BUILD_ID", "build");
    let folder = std::path::Path::new(file.path()).parent().unwrap().to_path_buf();
    std::fs::write(folder.join("prerender-manifest.json"), "{").unwrap();
    let (code, said) = run(&["init", "--next", folder.to_str().unwrap()]).await;
    assert!(code == 1 && said.contains("manifest.json"), "{code}: {said}");
}
