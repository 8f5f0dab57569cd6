//! The real binary as a child process, and Larder made of it.

use super::{LOOK_AGAIN, Origin, PATIENCE, Raw, Request, Response, reserve, until};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep};

/// The head of a configuration with nothing of note.
pub const PLAIN: &str = "listen: {listen}\norigin: {origin}\nadmin:\n  listen: {admin}\n";

/// What may order anything there, where a configuration says so.
pub const TOKEN: &str = "a-token-for-the-tests";

/// The same with [`TOKEN`].
pub const ORDERED: &str =
    "listen: {listen}\norigin: {origin}\nadmin:\n  listen: {admin}\n  token: a-token-for-the-tests\n";

/// The head of a configuration that gives its origin up soon.
pub const SHORT: &str = r#"listen: {listen}
admin:
  listen: {admin}
origins:
  app:
    servers: [{ url: "{origin}" }]
    timeouts: { connect: 500ms, first_byte: 2s, between_bytes: 1s, total: 3s }
    passed: { first_byte: 2s }
"#;

/// A file that is gone after the test.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn file(name: &str, content: &str) -> Scratch {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let one = format!("it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(one);
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join(name);
        std::fs::write(&file, content).unwrap();
        Scratch(file)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(directory) = self.0.parent() {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

/// What a process says, collected while it runs.
struct Said {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Said {
    fn nothing() -> Said {
        Said { text: Arc::default(), reader: None }
    }

    fn by(mut pipe: impl Read + Send + 'static) -> Said {
        let text = Arc::new(Mutex::new(Vec::new()));
        let into = text.clone();
        let reader = thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(n) = pipe.read(&mut part) {
                if n == 0 {
                    break;
                }
                into.lock().unwrap().extend_from_slice(&part[..n]);
            }
        });
        Said { text, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// A process of the binary. Ends with the test, and says why if that failed.
pub struct Larder {
    child: Child,
    out: Said,
    err: Said,
    /// A stdout that nobody reads yet.
    unread: Option<ChildStdout>,
    /// A stderr that nobody ever reads.
    _deaf: Option<ChildStderr>,
}

impl Larder {
    pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Larder {
        let mut larder = Larder::unread(arguments);
        larder.read_on();
        larder
    }

    /// With a stdout that nobody reads.
    fn unread<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Larder {
        let (mut larder, stderr) = Larder::spawn(arguments);
        larder.err = Said::by(stderr);
        larder
    }

    /// With a stderr that nobody reads.
    fn deaf<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Larder {
        let (mut larder, stderr) = Larder::spawn(arguments);
        larder.read_on();
        larder._deaf = Some(stderr);
        larder
    }

    /// That takes the certificates of this authority for proof.
    fn trusting<S: AsRef<OsStr>>(authority: &str, arguments: impl IntoIterator<Item = S>) -> Larder {
        let (mut larder, stderr) = Larder::spawn_with(&[("SSL_CERT_FILE", authority)], arguments);
        larder.read_on();
        larder.err = Said::by(stderr);
        larder
    }

    fn spawn<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> (Larder, ChildStderr) {
        Larder::spawn_with(&[], arguments)
    }

    fn spawn_with<S: AsRef<OsStr>>(
        environment: &[(&str, &str)],
        arguments: impl IntoIterator<Item = S>,
    ) -> (Larder, ChildStderr) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_larder"))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let unread = child.stdout.take();
        (Larder { child, out: Said::nothing(), err: Said::nothing(), unread, _deaf: None }, stderr)
    }

    /// Somebody reads its stdout from now on.
    pub fn read_on(&mut self) {
        if let Some(pipe) = self.unread.take() {
            self.out = Said::by(pipe);
        }
    }

    pub fn stdout(&self) -> String {
        self.out.so_far()
    }

    pub fn stderr(&self) -> String {
        self.err.so_far()
    }

    /// Its exit code, if it has ended; -1 if a signal ended it.
    fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().unwrap()?;
        self.out.finish();
        self.err.finish();
        Some(status.code().unwrap_or(-1))
    }

    /// Waits for its exit code.
    pub async fn exit(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(code) = self.ended() {
                return code;
            }
            assert!(Instant::now() < deadline, "it does not exit");
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Sends a signal: `TERM`, say.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }
}

impl Drop for Larder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            self.err.finish();
            eprintln!("--- what larder said:\n{}---", self.stderr());
        }
    }
}

/// Larder in front of an origin, ready.
pub struct Edge {
    pub larder: Larder,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    _ports: [TcpSocket; 2],
    file: Option<Scratch>,
}

impl Edge {
    /// Without a configuration.
    pub async fn start(origin: &Origin) -> Edge {
        Edge::in_front_of(&origin.url()).await
    }

    pub async fn in_front_of(url: &str) -> Edge {
        Edge::launch(Larder::run, |listen, admin| {
            let (listen, admin) = (listen.to_string(), admin.to_string());
            let arguments = ["serve", "--origin", url, "--listen", &listen, "--admin", &admin];
            (arguments.map(str::to_owned).to_vec(), None)
        })
        .await
    }

    /// With a configuration, and an authority that its origin's certificates come from.
    pub async fn trusting(authority: &str, origin: &Origin, yaml: &str) -> Edge {
        Edge::launch(|arguments| Larder::trusting(authority, arguments), configured(origin, yaml)).await
    }

    /// With a configuration in which `{origin}`, `{listen}` and `{admin}` stand for the addresses.
    pub async fn with_config(origin: &Origin, yaml: &str) -> Edge {
        Edge::launch(Larder::run, configured(origin, yaml)).await
    }

    /// The same, with a stdout that nobody reads.
    pub async fn unread(origin: &Origin, yaml: &str) -> Edge {
        Edge::launch(Larder::unread, configured(origin, yaml)).await
    }

    /// The same, with a stderr that nobody reads.
    pub async fn deaf(origin: &Origin, yaml: &str) -> Edge {
        Edge::launch(Larder::deaf, configured(origin, yaml)).await
    }

    async fn launch(
        run: impl Fn(Vec<String>) -> Larder,
        arguments: impl Fn(SocketAddr, SocketAddr) -> (Vec<String>, Option<Scratch>),
    ) -> Edge {
        for _ in 0..5 {
            let ((front, listen), (back, admin)) = (reserve(), reserve());
            let (arguments, file) = arguments(listen, admin);
            let larder = run(arguments);
            let mut edge = Edge { larder, listen, admin, _ports: [front, back], file };
            if edge.becomes_ready().await {
                return edge;
            }
        }
        panic!("five times a port was taken");
    }

    /// `false`: a port was taken all the same.
    async fn becomes_ready(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.larder.ended().is_some() {
                let said = self.larder.stderr();
                assert!(said.contains("cannot listen"), "larder did not start:\n{said}");
                return false;
            }
            if self.admin_get("/readyz").send().await.is_ok_and(|answer| answer.code == 200) {
                return true;
            }
            assert!(Instant::now() < deadline, "larder does not become ready");
            sleep(LOOK_AGAIN).await;
        }
    }

    pub fn ask(&self, method: &str, target: &str) -> Request {
        Request::new(self.listen, method, target)
    }

    pub fn get(&self, target: &str) -> Request {
        self.ask("GET", target)
    }

    pub fn head(&self, target: &str) -> Request {
        self.ask("HEAD", target)
    }

    pub fn post(&self, target: &str, body: &str) -> Request {
        self.ask("POST", target).body(body)
    }

    pub async fn raw(&self) -> Raw {
        Raw::open(self.listen).await
    }

    pub fn admin_get(&self, path: &str) -> Request {
        Request::new(self.admin, "GET", path).host(&self.admin.to_string())
    }

    /// An order to the admin API, where [`TOKEN`] is its token.
    pub async fn order(&self, path: &str, order: &Value) -> Value {
        let request = Request::new(self.admin, "POST", path).host(&self.admin.to_string());
        let request = request.header("Authorization", &format!("Bearer {TOKEN}"));
        let answer = request.header("Content-Type", "application/json").body(order.to_string()).await;
        serde_json::from_slice(&answer.status(200).body).unwrap()
    }

    /// Asks until the answer is a hit: whoever reads a body's last byte may be faster than the store.
    pub async fn stored(&self, target: &str) -> Response {
        self.first(target, "it is a hit", Response::is_hit).await
    }

    /// Asks until the window is over; the answer that says so has started the regeneration.
    pub async fn until_stale(&self, target: &str) -> Response {
        self.first(target, "it is stale", Response::is_stale).await
    }

    /// Asks until this is the body.
    pub async fn until_is(&self, target: &str, body: &str) -> Response {
        self.first(target, &format!("it is `{body}`"), |answer| answer.text() == body).await
    }

    /// The first answer of which this is true.
    pub async fn first(&self, target: &str, what: &str, wanted: impl Fn(&Response) -> bool) -> Response {
        let mut found = None;
        until(&format!("{target}: {what}"), async || {
            let answer = self.get(target).await;
            let fits = wanted(&answer);
            found = Some(answer);
            fits
        })
        .await;
        found.unwrap()
    }

    /// The sum over all series of that name with these labels: `larder_requests_total{cache=hit,status=200}`.
    pub async fn metric(&self, selector: &str) -> f64 {
        sum(&self.admin_get("/metrics").await.status(200).text(), selector)
    }

    /// Killed where it stands, and started again with the same configuration.
    pub async fn killed_and_restarted(mut self) -> Edge {
        self.larder.signal("KILL");
        self.larder.exit().await;
        let file = self.file.as_ref().unwrap().path().to_owned();
        self.larder = Larder::run(["serve", "--config", &file]);
        assert!(self.becomes_ready().await, "its ports are taken");
        self
    }

    /// Writes another configuration into its file; it counts from the next reload.
    pub fn rewrite(&self, origin: &Origin, yaml: &str) {
        let file = self.file.as_ref().unwrap();
        std::fs::write(file.path(), filled(origin, yaml, self.listen, self.admin)).unwrap();
    }

    pub async fn metric_reaches(&self, selector: &str, least: f64) {
        until(&format!("{selector} reaches {least}"), async || self.metric(selector).await >= least).await;
    }
}

fn configured(origin: &Origin, yaml: &str) -> impl Fn(SocketAddr, SocketAddr) -> (Vec<String>, Option<Scratch>) {
    move |listen, admin| {
        let file = Scratch::file("larder.yaml", &filled(origin, yaml, listen, admin));
        (vec!["serve".to_owned(), "--config".to_owned(), file.path().to_owned()], Some(file))
    }
}

fn filled(origin: &Origin, yaml: &str, listen: SocketAddr, admin: SocketAddr) -> String {
    yaml.replace("{origin}", &origin.url())
        .replace("{listen}", &listen.to_string())
        .replace("{admin}", &admin.to_string())
}

fn sum(metrics: &str, selector: &str) -> f64 {
    let parts = |series: &str| {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split(',').filter(|l| !l.is_empty());
        (name.to_owned(), labels.map(|l| l.replace('"', "")).collect::<Vec<String>>())
    };
    let (name, wanted) = parts(selector);
    let values = metrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, labels) = parts(series);
        let fits = found == name && wanted.iter().all(|w| labels.contains(w));
        if fits { value.parse::<f64>().ok() } else { None }
    });
    values.sum()
}
