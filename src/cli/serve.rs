//! `larder serve`: start, wait for a signal, leave as soon as idle.

use super::cannot_run;
use crate::app::App;
use crate::config::{Config, LogFormat, Logging};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// How long what still runs may take to end when everything else has ended.
const LEAVING: Duration = Duration::from_secs(1);

pub(super) fn run(config: Config, file: Option<&Path>) -> ExitCode {
    let _log = log_to_stderr(&config.logging);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(config.threads).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(serve(config, file));
            // A disk that does not answer keeps nobody from leaving.
            runtime.shutdown_timeout(LEAVING);
            code
        }
        Err(error) => cannot_run(&error),
    }
}

async fn serve(config: Config, file: Option<&Path>) -> ExitCode {
    let (admin, format) = (config.admin.listen, config.logging.format);
    let origins: Vec<String> = config.origins.iter().map(|o| o.name.clone()).collect();
    let app = match App::start(config, file).await {
        Ok(app) => app,
        Err(error) => return cannot_run(&error),
    };
    for address in app.addresses() {
        tracing::info!(%address, %admin, origins = ?origins, "larder {} is ready", env!("CARGO_PKG_VERSION"));
    }
    if let Some(token) = app.generated_token() {
        tell_token(token, admin, format);
    }
    match wait_and_stop(&app).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cannot_run(&error),
    }
}

/// Told whatever the log's level is: nobody could guess it, and it is told once.
fn tell_token(token: &str, admin: SocketAddr, format: LogFormat) {
    let message = format!("admin token for http://{admin}, made for this run; `admin.token` keeps one");
    match format {
        LogFormat::Text => eprintln!("larder: {message}: {token}"),
        LogFormat::Json => {
            let fields = serde_json::json!({ "message": message, "admin_token": token });
            eprintln!("{}", serde_json::json!({ "level": "INFO", "fields": fields }));
        }
    }
}

/// Until SIGTERM or SIGINT; then drains. A second one ends at once.
pub(super) async fn wait_and_stop(app: &App) -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut rotated = signal(SignalKind::user_defined1())?;
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = interrupt.recv() => break,
            _ = rotated.recv() => app.reopen_logs(),
            _ = hangup.recv() => app.reload(),
        }
    }
    tracing::info!("leaving: requests that run are finished first");
    tokio::select! {
        () = app.stop() => {}
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Lines that wait for a stderr whose reader is slow. Beyond that they are dropped: whoever logs is serving somebody.
const LINES_WAITING: usize = 4096;

/// Logs go to stderr, through a queue of its own: a reader that stops must not stop Larder. pingora speaks through `log`;
/// of it, errors are enough. What is returned writes the rest when it is dropped, if that takes no longer than a moment.
pub(super) fn log_to_stderr(logging: &Logging) -> WorkerGuard {
    let level = &logging.level;
    let filter = EnvFilter::try_new(format!(
        "error,larder={level},engine={level},pingora=off,pingora_core=off,pingora_proxy=off"
    ))
    .unwrap_or_else(|_| EnvFilter::new("info"));
    let queue = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_WAITING);
    let (writer, guard) = queue.finish(std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    // A second initialisation in one process is a test's business.
    let _ = match logging.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
    };
    guard
}
