//! `larder export` and `larder import`: all that is stored, into one file and out of it again.

use super::{GUARDED, Ran, TOKEN, ask, run, url};
use crate::dsl::{Edge, Origin, Reply, Request, Response, Scratch, until};
use serde_json::{Value, json};
use std::path::Path;

/// Bytes of the head of an archive, and of a frame before its content.
const HEAD: usize = 32;
const FRAME: usize = 48;

/// A folder of the test's own.
struct Folder(Scratch);

impl Folder {
    fn new() -> Folder {
        Folder(Scratch::file("here", ""))
    }

    fn at(&self, name: &str) -> String {
        Path::new(self.0.path()).with_file_name(name).to_str().unwrap().to_owned()
    }
}

/// Bodies over 64 KiB are not held in memory.
fn on_disk(folder: &Folder, name: &str) -> String {
    format!(
        "{GUARDED}store:\n  memory: {{ max_size: 64MiB, max_object: 64KiB }}\n  \
         disk: {{ path: {}, max_size: 1GiB, max_object: 64MiB, sync: 100ms, min_free: 0% }}\n",
        folder.at(name)
    )
}

async fn tell(edge: &Edge, arguments: &[&str]) -> Ran {
    ask(&url(edge.admin), TOKEN, arguments).await
}

async fn entries(edge: &Edge) -> usize {
    tell(edge, &["entries", "--json", "--limit", "0"]).await.json()["entries"].as_array().unwrap().len()
}

async fn export(edge: &Edge, file: &str) -> Value {
    tell(edge, &["export", file, "--json"]).await.json()
}

async fn import(edge: &Edge, file: &str) -> Value {
    let mut told = tell(edge, &["import", file, "--json"]).await.json();
    assert_eq!(told["problems"].take(), json!([]));
    told.as_object_mut().unwrap().remove("problems");
    told
}

fn counts(stored: u64, skipped: u64) -> Value {
    json!({ "stored": stored, "skipped": skipped, "refused": 0 })
}

/// Bytes of no pattern.
fn noise(length: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + u8::try_from(state % 26).unwrap())
    };
    (0..length).map(|_| next()).collect()
}

/// Pages of all kinds: eleven that can be moved, and one that was invalidated hard.
async fn a_full_store(origin: &Origin, edge: &Edge, large: &str) {
    let page = |body: &str| Reply::ok(body).cache_control("s-maxage=600, stale-while-revalidate=6000");
    for n in 0..5 {
        origin.answers(&format!("/p{n}"), page(&format!("page {n}")));
        edge.stored(&format!("/p{n}")).await;
    }
    origin.answers("/large", page(large));
    origin.answers("/old", page("old").header("Age", "100"));
    origin.answers("/tagged", page("tagged").header("Cache-Tag", "blog"));
    origin.answers("/soft", page("soft"));
    origin.answers("/hard", page("hard"));
    for path in ["/large", "/old", "/tagged", "/soft", "/hard"] {
        edge.stored(path).await;
    }
    origin.dynamic("/varies", move |seen| {
        let language = seen.field("accept-language").unwrap_or_default();
        page(&format!("in {language}")).header("Vary", "Accept-Language")
    });
    for language in ["de", "en"] {
        until("a variant is stored", async || in_language(edge, language).await.is_hit()).await;
    }
    tell(edge, &["revalidate", "/soft"]).await.fine();
    tell(edge, &["revalidate", "/hard", "--hard"]).await.fine();
}

async fn in_language(edge: &Edge, language: &str) -> Response {
    edge.get("/varies").header("Accept-Language", language).await
}

/// Everything is here that [`a_full_store`] left, and nothing looks younger than it is.
async fn all_is_there(edge: &Edge, large: &str) {
    for n in 0..5 {
        edge.get(&format!("/p{n}")).await.is(&format!("page {n}")).cache_status("hit").at_once();
    }
    edge.get("/large").await.is(large).cache_status("hit");
    let old = edge.get("/old").await;
    old.is("old").cache_status("hit");
    assert!(old.age().unwrap() >= 100, "{old:?}");
    edge.get("/tagged").await.is("tagged").cache_status("hit");
    let soft = edge.get("/soft").await;
    assert!(soft.is("soft").is_stale(), "{soft:?}");
    for language in ["de", "en"] {
        in_language(edge, language).await.is(&format!("in {language}")).cache_status("hit");
    }
    assert!(!in_language(edge, "fr").await.is_hit());
    assert!(!edge.get("/hard").await.is_hit());
}

#[tokio::test]
async fn what_one_larder_stored_another_serves() {
    let (folder, large) = (Folder::new(), noise(1_000_000));
    let file = folder.at("archive");
    let origin = Origin::start().await;
    let from = Edge::with_config(&origin, &on_disk(&folder, "one")).await;
    a_full_store(&origin, &from, &large).await;
    let told = export(&from, &file).await;
    assert_eq!((&told["entries"], &told["unread"], &told["resumed"]), (&json!(11), &json!(0), &json!(false)));
    assert_eq!(told["bytes"], std::fs::metadata(&file).unwrap().len());
    assert!(!Path::new(&format!("{file}.part")).exists());
    assert!(run(&["import", "--check", &file]).await.fine().contains("complete, 11 entries"));

    origin.down().await;
    let to = Edge::with_config(&origin, &on_disk(&folder, "two")).await;
    // What was invalidated here before says nothing of what comes now.
    tell(&to, &["revalidate", "--prefix", "/", "--hard"]).await.fine();
    assert_eq!(import(&to, &file).await, counts(11, 0));
    all_is_there(&to, &large).await;
    assert_eq!(import(&to, &file).await, counts(0, 11));
    tell(&to, &["revalidate", "--tag", "blog"]).await.fine();
    assert!(to.get("/tagged").await.is("tagged").is_stale(), "what is invalidated later selects it");
    assert_eq!(import(&to, &file).await, counts(0, 11), "and an old copy does not bring it back");
    assert!(to.get("/tagged").await.is_stale());
}

#[tokio::test]
async fn what_was_imported_is_on_the_disk() {
    let (folder, large) = (Folder::new(), noise(300_000));
    let file = folder.at("archive");
    let origin = Origin::start().await;
    let from = Edge::with_config(&origin, &on_disk(&folder, "one")).await;
    a_full_store(&origin, &from, &large).await;
    export(&from, &file).await;
    origin.down().await;
    let mut to = Edge::with_config(&origin, &on_disk(&folder, "two")).await;
    assert_eq!(import(&to, &file).await, counts(11, 0));
    to.larder.signal("TERM");
    assert_eq!(to.larder.exit().await, 0);
    let again = Edge::with_config(&origin, &on_disk(&folder, "two")).await;
    all_is_there(&again, &large).await;
    let (moved, file) = (folder.at("moved"), file);
    assert_eq!(export(&again, &moved).await["entries"], 11, "out of the files of the disk store");
    assert_eq!(import(&again, &moved).await, counts(0, 11));
    assert_eq!(import(&again, &file).await, counts(0, 11));
}

#[tokio::test]
async fn without_a_disk_store_it_works_as_well() {
    let (folder, large) = (Folder::new(), noise(300_000));
    let file = folder.at("archive");
    let origin = Origin::start().await;
    let from = Edge::with_config(&origin, GUARDED).await;
    a_full_store(&origin, &from, &large).await;
    assert_eq!(export(&from, &file).await["entries"], 11);
    origin.down().await;
    let to = Edge::with_config(&origin, GUARDED).await;
    assert_eq!(import(&to, &file).await, counts(11, 0));
    all_is_there(&to, &large).await;
    assert_eq!(import(&to, &file).await, counts(0, 11));
}

#[tokio::test]
async fn a_newer_page_stays() {
    let folder = Folder::new();
    let file = folder.at("archive");
    let origin = Origin::start().await;
    origin.page("/p", "old").cache_control("s-maxage=600");
    origin.page("/q", "q").cache_control("s-maxage=600");
    let from = Edge::with_config(&origin, GUARDED).await;
    from.stored("/p").await;
    from.stored("/q").await;
    export(&from, &file).await;
    origin.page("/p", "new").cache_control("s-maxage=600");
    let to = Edge::with_config(&origin, GUARDED).await;
    to.stored("/p").await;
    assert_eq!(import(&to, &file).await, counts(1, 1));
    to.get("/p").await.is("new").cache_status("hit");
    to.get("/q").await.is("q").cache_status("hit");
}

#[tokio::test]
async fn what_a_url_varies_on_only_grows() {
    let folder = Folder::new();
    let (fewer, more) = (folder.at("fewer"), folder.at("more"));
    let origin = Origin::start().await;
    let vary = |names: &str| Reply::ok("v").cache_control("s-maxage=600").header("Vary", names);
    let (one, other) = (Edge::with_config(&origin, GUARDED).await, Edge::with_config(&origin, GUARDED).await);
    origin.answers("/varies", vary("Accept-Language"));
    until("a variant is stored", async || in_language(&one, "de").await.is_hit()).await;
    origin.answers("/varies", vary("Accept-Language, X-Size"));
    until("a variant is stored", async || in_language(&other, "de").await.is_hit()).await;
    export(&one, &fewer).await;
    export(&other, &more).await;
    // Nobody would come by a variant of fewer fields.
    assert_eq!(import(&other, &fewer).await, counts(0, 1));
    assert_eq!(import(&one, &more).await, counts(1, 0));
    origin.down().await;
    in_language(&one, "de").await.is("v").cache_status("hit");
    assert!(!in_language(&one, "de").await.header_has("Vary", "X-Size").is_stale());
    // Of the two that lie there now, one can be found.
    assert_eq!(export(&one, &folder.at("both")).await["entries"], 1);
}

#[tokio::test]
async fn what_was_cut_off_is_gone_on_with_and_not_imported() {
    let (folder, large) = (Folder::new(), noise(200_000));
    let origin = Origin::start().await;
    let from = Edge::with_config(&origin, &on_disk(&folder, "one")).await;
    a_full_store(&origin, &from, &large).await;
    let whole = folder.at("whole");
    export(&from, &whole).await;
    let bytes = std::fs::read(&whole).unwrap();
    let to = Edge::with_config(&origin, GUARDED).await;
    let last = bytes.len() - 1;
    let first = u64::from_le_bytes(bytes[HEAD + 8..HEAD + 16].try_into().unwrap());
    let first_ends = HEAD + FRAME + usize::try_from(first).unwrap();
    for length in
        [0, 5, HEAD - 1, HEAD, HEAD + FRAME, HEAD + FRAME + 100, last / 3, last / 2, last - 80, last - 64, last]
    {
        let file = folder.at(&format!("cut-{length}"));
        std::fs::write(&file, &bytes[..length]).unwrap();
        tell(&to, &["import", &file]).await.fails(1, &["incomplete", &file]);
        run(&["import", "--check", &file]).await.fails(1, &["incomplete"]);
        let told = export(&from, &file).await;
        assert_eq!(told["entries"], 11, "{length}");
        assert_eq!(told["resumed"], length >= first_ends, "{length}");
        run(&["import", "--check", &file]).await.fine();
    }
    assert_eq!(entries(&to).await, 0);
    // What breaks off while it is fetched lies beside.
    let file = folder.at("beside");
    std::fs::write(format!("{file}.part"), &bytes[..last - 80]).unwrap();
    assert_eq!(export(&from, &file).await["resumed"], true);
    assert_eq!(import(&to, &file).await, counts(11, 0));
}

#[tokio::test]
async fn what_is_damaged_is_told_with_its_place_and_not_imported() {
    let (folder, large) = (Folder::new(), noise(100_000));
    let origin = Origin::start().await;
    let from = Edge::with_config(&origin, GUARDED).await;
    a_full_store(&origin, &from, &large).await;
    let (whole, file) = (folder.at("whole"), folder.at("damaged"));
    export(&from, &whole).await;
    let bytes = std::fs::read(&whole).unwrap();
    let to = Edge::with_config(&origin, GUARDED).await;
    let mut place = 7_usize;
    for n in 0..25 {
        place = (place * 1_103_515_245 + 12_345) % bytes.len();
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (n % 8);
        std::fs::write(&file, &damaged).unwrap();
        let ran = tell(&to, &["import", &file]).await;
        ran.fails(1, &[&file, if place < 8 { "no archive" } else { "byte" }]);
        run(&["import", "--check", &file]).await.fails(1, &[&file]);
    }
    assert_eq!(entries(&to).await, 0);
    // One entry alone: the others can be taken.
    let mut damaged = bytes.clone();
    damaged[HEAD + FRAME + 20] ^= 1;
    std::fs::write(&file, &damaged).unwrap();
    let ran = tell(&to, &["import", &file, "--partial"]).await;
    assert!(ran.err.contains("byte 32"), "{ran:?}");
    assert!(ran.fine().contains("10 stored"));
    assert_eq!(entries(&to).await, 10);
}

#[tokio::test]
async fn a_file_that_is_there_is_not_overwritten_unawares() {
    let folder = Folder::new();
    let file = folder.at("archive");
    let origin = Origin::start().await;
    origin.page("/p", "p").cache_control("s-maxage=600");
    let edge = Edge::with_config(&origin, GUARDED).await;
    assert_eq!(export(&edge, &file).await["entries"], 0, "nothing is stored yet");
    edge.stored("/p").await;
    tell(&edge, &["export", &file]).await.fails(1, &["there already", "--force"]);
    assert!(tell(&edge, &["export", &file, "--force"]).await.fine().contains("1 entries"));
    assert_eq!(import(&edge, &file).await, counts(0, 1));
    std::fs::write(&file, "my diary").unwrap();
    tell(&edge, &["export", &file]).await.fails(1, &["no archive", "--force"]);
    tell(&edge, &["import", &file]).await.fails(1, &["no archive"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "my diary");
    tell(&edge, &["import", &folder.at("nothing")]).await.fails(1, &["cannot be read"]);
    tell(&edge, &["export", &folder.at("no/folder")]).await.fails(2, &["cannot be written"]);
}

#[tokio::test]
async fn an_export_is_not_gone_on_with_from_another_store() {
    let folder = Folder::new();
    let file = folder.at("archive");
    let origin = Origin::start().await;
    origin.page("/p", "p").cache_control("s-maxage=600");
    let (one, other) = (Edge::with_config(&origin, GUARDED).await, Edge::with_config(&origin, GUARDED).await);
    one.stored("/p").await;
    other.stored("/p").await;
    export(&one, &file).await;
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    tell(&other, &["export", &file]).await.fails(1, &["another store", "--force"]);
    assert_eq!(export(&one, &file).await["resumed"], true, "and what is there stays");
}

#[tokio::test]
async fn what_is_too_large_for_the_other_store_is_refused_alone() {
    let (folder, large) = (Folder::new(), noise(20_000_000));
    let file = folder.at("archive");
    let origin = Origin::start().await;
    let from = Edge::with_config(&origin, &on_disk(&folder, "one")).await;
    a_full_store(&origin, &from, &large).await;
    assert_eq!(export(&from, &file).await["entries"], 11);
    let small = format!("{GUARDED}store:\n  memory: {{ max_size: 64MiB, max_object: 64KiB }}\n");
    let to = Edge::with_config(&origin, &small).await;
    let ran = tell(&to, &["import", &file]).await;
    ran.fails(2, &["not everything", "19 MiB"]);
    assert!(ran.out.contains("10 stored, 0 skipped, 1 refused"), "{ran:?}");
    let same = Edge::with_config(&origin, &on_disk(&folder, "two")).await;
    assert_eq!(import(&same, &file).await, counts(11, 0));
    same.get("/large").await.is(&large).cache_status("hit");
}

fn with(edge: &Edge, token: &str, method: &str, target: &str) -> Request {
    let request = Request::new(edge.admin, method, target).host(&edge.admin.to_string());
    request.header("Authorization", &format!("Bearer {token}"))
}

#[tokio::test]
async fn the_api_gives_pieces_and_judges_each_frame() {
    let origin = Origin::start().await;
    let from = Edge::with_config(&origin, GUARDED).await;
    a_full_store(&origin, &from, "not so large").await;
    let (mut pieces, mut next) = (Vec::new(), String::new());
    loop {
        let piece = with(&from, TOKEN, "GET", &format!("/v1/export?limit=2{next}")).await;
        piece.status(200).header("Content-Type", "application/octet-stream").header("Larder-Unread", "0");
        let cursor = piece.field("larder-next-cursor");
        pieces.push(piece.body);
        let Some(cursor) = cursor else { break };
        next = format!("&cursor={cursor}");
    }
    assert!(pieces.len() >= 6, "{}", pieces.len());

    let to = Edge::with_config(&origin, GUARDED).await;
    let mut frames = pieces.concat();
    frames[FRAME + 60] ^= 1;
    let answer = with(&to, TOKEN, "POST", "/v1/import").body(frames.clone()).await;
    let told: Value = serde_json::from_slice(&answer.status(200).body).unwrap();
    assert_eq!((&told["stored"], &told["skipped"], &told["refused"]), (&json!(10), &json!(0), &json!(1)));
    assert!(told["problems"][0].as_str().unwrap().contains("damaged"), "{told}");
    // The frame's own checksum fits, and the entry's does not: whoever wrote this is not Larder.
    with(&to, TOKEN, "POST", "/v1/import").body("anything at all").await.status(422);
    with(&to, TOKEN, "POST", "/v1/import").body(&frames[1..]).await.status(422);
    with(&to, TOKEN, "POST", "/v1/import").header("Content-Type", "application/json").body("{}").await.status(415);
    with(&to, TOKEN, "GET", "/v1/export?cursor=1").await.status(422);
    with(&to, TOKEN, "GET", &format!("/v1/export?limit=2{next}")).await.status(422);
    with(&to, TOKEN, "GET", "/v1/export?limit=0").await.status(422);
}

#[tokio::test]
async fn only_a_token_for_everything_moves_pages() {
    let folder = Folder::new();
    let file = folder.at("archive");
    let tokens = "  tokens:\n    - { token: a-token-that-reads-0123456789abcdef, scope: read }\n    \
                  - { token: a-token-that-writes-0123456789abcde, scope: revalidate }\n";
    let origin = Origin::start().await;
    let edge = Edge::with_config(&origin, &[GUARDED, tokens].concat()).await;
    export(&edge, &file).await;
    for token in ["a-token-that-reads-0123456789abcdef", "a-token-that-writes-0123456789abcde"] {
        let admin = url(edge.admin);
        ask(&admin, token, &["export", &folder.at("other")]).await.fails(1, &["scope"]);
        with(&edge, token, "POST", "/v1/import").await.status(403);
    }
    ask(&url(edge.admin), "wrong", &["export", &folder.at("other")]).await.fails(1, &["--token"]);
}
