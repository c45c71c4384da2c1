//! Full, locked, damaged, gone: told apart, never a panic, and over when the trouble is over.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::task::Poll;

use gantry_core::audit::AuditEvent;
use gantry_core::operation::{OpState, Operation};
use gantry_store::testing;
use gantry_store::{Kind, OpFilter, Store, StoreError};
use sqlx::{Connection as _, Executor as _};

use crate::harness::*;

fn file(db: &Db) -> PathBuf {
    db.dir.path().join("gantry.db")
}

#[tokio::test]
async fn a_second_process_is_refused_until_the_first_lets_go() {
    let db = Db::empty_sqlite().await.migrated().await;
    let error = Store::open(&db.url).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::InUse { path } if path.ends_with("gantry.db")),
        "{error:?}"
    );
    // Another way to write the same path is the same file.
    let dotted = format!("sqlite:{}/./gantry.db", db.dir.path().display());
    assert!(matches!(Store::open(&dotted).await.unwrap_err(), StoreError::InUse { .. }));
    db.store.close().await;
    let again = Store::open(&db.url).await.unwrap();
    assert!(again.pending().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_file_is_its_owners_alone_and_written_to_the_disk() {
    let db = Db::empty_sqlite().await.migrated().await;
    for name in ["gantry.db", "gantry.db.lock", "gantry.db-wal", "gantry.db-shm"] {
        let mode = std::fs::metadata(db.dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(testing::number(&db.store, "PRAGMA synchronous").await.unwrap(), 2);
    assert_eq!(testing::number(&db.store, "PRAGMA foreign_keys").await.unwrap(), 1);
    let wal = "SELECT COUNT(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'";
    assert_eq!(testing::number(&db.store, wal).await.unwrap(), 1);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_said() {
    let error = Store::open("sqlite:/nowhere/at/all/gantry.db").await.unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains("/nowhere/at/all/gantry.db"), "{error}");
}

#[tokio::test]
async fn a_database_in_memory_works_too() {
    let store = Store::open("sqlite::memory:").await.unwrap();
    store.migrate().await.unwrap();
    let op = started(&store, 1).await;
    assert_eq!(store.find_operation(&op.id).await.unwrap(), Some(op));
    assert_eq!(store.kind(), Kind::Sqlite);
}

#[tokio::test]
async fn a_damaged_file_is_named_and_never_a_panic() {
    let db = Db::empty_sqlite().await.migrated().await;
    for n in 0..200 {
        started(&db.store, n).await;
    }
    db.store.close().await;
    let whole = std::fs::read(file(&db)).unwrap();
    let mut refused = 0;
    let cases: Vec<(String, Vec<u8>)> = {
        let mut cases = vec![
            ("garbage".to_owned(), b"this is no database, it is a letter. ".repeat(500)),
            ("header".to_owned(), [&[0xff; 100], &whole[100..]].concat()),
            ("cut".to_owned(), whole[..whole.len() / 2].to_vec()),
            ("cut mid-page".to_owned(), whole[..5000].to_vec()),
        ];
        for i in 0..24 {
            let mut bytes = whole.clone();
            let at = 100 + (i * 7919 * 37) % (bytes.len() - 600);
            bytes[at..at + 500].iter_mut().for_each(|b| *b ^= 0xa5);
            cases.push((format!("bytes at {at}"), bytes));
        }
        cases
    };
    for (what, bytes) in cases {
        for beside in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(db.dir.path().join(format!("gantry.db{beside}")));
        }
        std::fs::write(file(&db), &bytes).unwrap();
        match Store::open(&db.url).await {
            Err(error) => {
                refused += 1;
                assert!(error.is_damaged(), "{what}: {error:?}");
                assert!(error.to_string().contains("gantry.db"), "{what}: {error}");
            }
            Ok(store) => {
                // Not seen at the door: then no row that contradicts itself is handed out.
                while let Ok(Some(lease)) = store.claim_operation("w", NOW, 1_000).await {
                    let op = lease.operation;
                    assert_eq!(op.verb, gantry_core::action::Verb::GuestStop, "{what}");
                }
                let _ = store.list_operations(&OpFilter::default(), 0, 1000).await;
                let _ = store.list_audit(&Default::default(), 0, 1000).await;
                let _ = store.expire_plans(i64::MAX, |p| audit(1, AuditEvent::Dropped, p)).await;
                store.close().await;
            }
        }
    }
    assert!(refused >= 4, "only {refused} were refused at the door");
    std::fs::write(file(&db), &whole).unwrap();
    assert!(Store::open(&db.url).await.unwrap().pending().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_full_database_says_so_keeps_reading_and_recovers() {
    let db = Db::empty_sqlite().await.migrated().await;
    let op = started(&db.store, 0).await;
    testing::execute(&db.store, "PRAGMA max_page_count = 1").await.unwrap();
    let big = "x".repeat(200_000);
    let error = db.store.set_setting("big", &big, NOW).await.unwrap_err();
    assert!(error.is_full() && error.is_passing(), "{error:?}");
    assert!(error.to_string().contains("no room left"), "{error}");
    let mut failed = None;
    for n in 1..200 {
        let (plan, rows) = (plan(n), [audit(n, AuditEvent::Confirmed, &plan(n))]);
        let fresh = operation(&plan, n);
        if let Err(error) = db.store.save_started(&plan, &card(n), &fresh, &rows).await {
            failed = Some((error, fresh));
            break;
        }
    }
    let (error, fresh) = failed.expect("it fills up");
    assert!(error.is_full(), "{error:?}");
    // Nothing of it was kept, and reads go on.
    assert_eq!(db.store.find_operation(&fresh.id).await.unwrap(), None);
    assert_eq!(db.store.find_plan(&fresh.plan).await.unwrap(), None);
    assert_eq!(db.store.find_operation(&op.id).await.unwrap(), Some(op));
    testing::execute(&db.store, "PRAGMA max_page_count = 1000000").await.unwrap();
    db.store.set_setting("big", &big, NOW).await.unwrap();
    started(&db.store, 500).await;
}

/// A disk that is really full, in a mount namespace of its own: this test binary runs the other half there.
#[test]
fn a_full_disk_is_waited_out_without_a_restart() {
    let script = "mount -t tmpfs -o size=1500k tmpfs \"$1\" && exec \"$0\" --ignored --exact trouble::on_a_small_disk";
    let dir = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    let run = |how: &str| {
        let mut command = std::process::Command::new("unshare");
        command.args([how, "sh", "-c", script]).arg(&exe).arg(dir.path());
        command.env("SMALL_DISK", dir.path()).output()
    };
    let unable =
        |o: &std::process::Output| !String::from_utf8_lossy(&o.stdout).contains("running 1 test");
    let mut output = run("-m");
    if output.as_ref().map_or(true, unable) {
        output = run("-Urm");
    }
    match output {
        Ok(output) if !unable(&output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            let more = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}\n{more}");
        }
        other => {
            use std::io::Write as _;
            let text = "\n*** SKIPPED: no mount namespaces here, so the test on a full disk did not run. ***\n";
            let _ = writeln!(std::io::stderr(), "{text}{other:?}");
        }
    }
}

#[tokio::test]
#[ignore = "run by a_full_disk_is_waited_out_without_a_restart, on a disk of 1.5 MB"]
async fn on_a_small_disk() {
    let disk = PathBuf::from(std::env::var_os("SMALL_DISK").expect("SMALL_DISK is set"));
    let url = format!("sqlite:{}", disk.join("gantry.db").display());
    let store = Store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    started(&store, 0).await;
    let filler = disk.join("filler");
    for round in 0..3 {
        let mut n = 1 + round * 1000;
        // Somebody else fills the disk up to the last byte.
        let mut file = std::fs::File::create(&filler).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
        let error = loop {
            let (plan, rows) = (plan(n), [audit(n, AuditEvent::Confirmed, &plan(n))]);
            let fresh = operation(&plan, n);
            if let Err(error) = store.save_started(&plan, &card(n), &fresh, &rows).await {
                assert_eq!(store.find_operation(&fresh.id).await.unwrap(), None);
                break error;
            }
            n += 1;
        };
        assert!(error.is_full(), "{error:?}");
        for _ in 0..3 {
            let error = store.set_setting("x", &"x".repeat(300_000), NOW).await.unwrap_err();
            assert!(error.is_full(), "{error:?}");
            let row = audit(n, AuditEvent::Denied, &plan(n));
            if let Err(error) = store.append_audit(&row).await {
                assert!(error.is_full(), "{error:?}");
            }
        }
        assert!(store.list_operations(&OpFilter::default(), 0, 1).await.unwrap().total > 0);
        std::fs::remove_file(&filler).unwrap();
        drop(file);
        started(&store, 999 + round * 1000).await;
    }
}

#[tokio::test]
async fn a_full_server_says_so() {
    let Some(db) = Db::empty_postgres().await else { return };
    let db = db.migrated().await;
    let op = started(&db.store, 0).await;
    fail_audit(&db.store, "RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'")
        .await;
    let row = audit(1, AuditEvent::CancelAsked, &plan(0));
    let error = db.store.ask_cancel(&op.id, "ada", &row).await.unwrap_err();
    assert!(error.is_full(), "{error:?}");
    testing::execute(&db.store, "DROP TRIGGER fail ON audit").await.unwrap();
    assert!(db.store.ask_cancel(&op.id, "ada", &row).await.unwrap());
}

#[tokio::test]
async fn a_connection_lost_in_the_middle_moves_nothing_and_heals() {
    let Some(db) = Db::empty_postgres().await else { return };
    let db = db.migrated().await;
    let op = started(&db.store, 0).await;
    let lease = db.store.claim_operation("w", NOW, 30_000).await.unwrap().unwrap();
    fail_audit(&db.store, "PERFORM pg_terminate_backend(pg_backend_pid())").await;
    let running = Operation { state: OpState::Running, ..op.clone() };
    let row = audit(1, AuditEvent::AboutTo, &plan(0));
    let error = db.store.save_operation(&running, lease.generation, Some(&row)).await.unwrap_err();
    assert!(error.is_lost() && error.is_passing(), "{error:?}");
    assert_eq!(db.store.find_operation(&op.id).await.unwrap(), Some(op));
    testing::execute(&db.store, "DROP TRIGGER fail ON audit").await.unwrap();
    assert!(db.store.save_operation(&running, lease.generation, Some(&row)).await.unwrap());

    // All connections at once, while idle: the next call does not even notice.
    let others = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity \
                  WHERE pid <> pg_backend_pid() AND datname = current_database()";
    testing::number(&db.store, others).await.unwrap();
    for _ in 0..20 {
        db.store.ping().await.unwrap();
    }
}

/// Forwards to `port` until it is frozen: then what was connected stays so and says nothing any more.
async fn line_to(port: u16, frozen: tokio::sync::watch::Receiver<bool>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut frozen = frozen.clone();
            tokio::spawn(async move {
                let mut far = None;
                if !*frozen.borrow() {
                    far = Some(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap());
                    let far = far.as_mut().unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, far) => return,
                        _ = frozen.wait_for(|f| *f) => {}
                    }
                }
                // Both ends stay open and silent for good.
                std::future::pending::<()>().await;
                drop((near, far));
            });
        }
    });
    own
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_silent_is_told_in_time_and_found_again() {
    let Some(db) = Db::empty_postgres().await else { return };
    let db = db.migrated().await;
    let port = url::Url::parse(&db.url).unwrap().port().unwrap();
    let (freeze, frozen) = tokio::sync::watch::channel(false);
    let line = line_to(port, frozen).await;
    let through = db.url.replace(&format!(":{port}/"), &format!(":{line}/"));
    let store = Store::open(&through).await.unwrap();
    // More calls than connections, held up in the middle by a lock, when the line goes silent.
    let mut other = sqlx::PgConnection::connect(&db.url).await.unwrap();
    other.execute("BEGIN").await.unwrap();
    other.execute("LOCK TABLE settings IN EXCLUSIVE MODE").await.unwrap();
    let calls: Vec<_> = (0..12)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.set_setting(&n.to_string(), "x", NOW).await })
        })
        .collect();
    let waiting =
        "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation = 'settings'::regclass";
    while testing::number(&db.store, waiting).await.unwrap() < 8 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let begun = std::time::Instant::now();
    freeze.send(true).unwrap();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(error.is_passing(), "{error:?}");
    }
    assert!(begun.elapsed().as_secs() < 17, "{:?}", begun.elapsed());
    other.execute("ROLLBACK").await.unwrap();
    freeze.send(false).unwrap();
    let back = std::time::Instant::now();
    while let Err(error) = store.set_setting("y", "z", NOW).await {
        assert!(error.is_passing(), "{error:?}");
        assert!(back.elapsed().as_secs() < 15, "{error:?}");
    }
    assert!(back.elapsed().as_secs() < 15, "{:?}", back.elapsed());
}

#[tokio::test]
async fn the_server_sees_who_is_connected() {
    let Some(db) = Db::empty_postgres().await else { return };
    let named = "SELECT COUNT(*) FROM pg_stat_activity WHERE pid = pg_backend_pid() AND application_name = 'gantry'";
    assert_eq!(testing::number(&db.store, named).await.unwrap(), 1);
    assert_eq!(db.store.kind(), Kind::Postgres);
}

async fn fail_audit(store: &Store, how: &str) {
    let script = format!(
        "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $f$ \
         BEGIN {how}; RETURN NEW; END $f$; \
         CREATE TRIGGER fail BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION fail();"
    );
    testing::execute(store, &script).await.unwrap();
}

both! {
    async fn a_lock_held_by_another_program_is_told_as_busy(db: Db) {
        let op = started(&db.store, 0).await;
        let row = audit(1, AuditEvent::CancelAsked, &plan(0));
        if db.store.kind() == Kind::Sqlite {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file(&db));
            let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
            other.execute("BEGIN IMMEDIATE").await.unwrap();
            let error = db.store.ask_cancel(&op.id, "ada", &row).await.unwrap_err();
            assert!(error.is_busy() && error.is_passing(), "{error:?}");
            // Reading goes on meanwhile.
            assert!(db.store.find_operation(&op.id).await.unwrap().is_some());
            other.execute("ROLLBACK").await.unwrap();
        } else {
            let mut other = sqlx::PgConnection::connect(&db.url).await.unwrap();
            other.execute("BEGIN").await.unwrap();
            other.execute("LOCK TABLE operations IN EXCLUSIVE MODE").await.unwrap();
            let error = db.store.ask_cancel(&op.id, "ada", &row).await.unwrap_err();
            assert!(error.is_busy() && error.is_passing(), "{error:?}");
            assert!(db.store.find_operation(&op.id).await.unwrap().is_some());
            other.execute("ROLLBACK").await.unwrap();
        }
        assert!(db.store.ask_cancel(&op.id, "ada", &row).await.unwrap());
    }

    async fn an_operation_that_contradicts_itself_is_handed_to_nobody(db: Db) {
        let (bad, good) = (started(&db.store, 1).await, started(&db.store, 2).await);
        for damage in [
            "data = '{'",
            "data = REPLACE(data, '\"state\":\"queued\"', '\"state\":\"running\"')",
            "data = REPLACE(data, 'op_', 'xx_')",
        ] {
            let keep = format!("CREATE TABLE keep AS SELECT data FROM operations WHERE id = '{}'", bad.id);
            testing::execute(&db.store, &keep).await.unwrap();
            let update = format!("UPDATE operations SET {damage}, lease_until_ms = 0 WHERE id = '{}'", bad.id);
            testing::execute(&db.store, &update).await.unwrap();
            let error = db.store.claim_operation("w", NOW, 30_000).await.unwrap_err();
            assert!(error.is_damaged(), "{error:?}");
            assert!(error.to_string().contains(bad.id.as_str()), "{error}");
            assert!(db.store.find_operation(&bad.id).await.unwrap_err().is_damaged());
            // It stops no other.
            let lease = db.store.claim_operation("w", NOW, 30_000).await.unwrap().unwrap();
            assert_eq!(lease.operation, good);
            assert!(db.store.release(&good.id, lease.generation).await.unwrap());
            let restore = format!("UPDATE operations SET data = (SELECT data FROM keep) WHERE id = '{}'; DROP TABLE keep", bad.id);
            testing::execute(&db.store, &restore).await.unwrap();
        }
    }

    async fn a_closed_store_answers_with_an_error(db: Db) {
        db.store.close().await;
        let error = db.store.ping().await.unwrap_err();
        assert!(error.is_lost(), "{error:?}");
    }
}

/// Times a call is given up on; each time a bit later.
const GIVEN_UP: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_that_is_given_up_leaves_no_transaction_behind() {
    let Some(db) = Db::empty_postgres().await else { return };
    let db = db.migrated().await;
    // One connection: whatever is left behind is met by the next call.
    let one = Store::open_with(&db.url, 1).await.unwrap();
    for by in 1..GIVEN_UP {
        gives_up(&one, by % 12).await;
        let key = format!("key-{by}");
        one.set_setting(&key, "kept", NOW).await.unwrap_or_else(|e| panic!("{key}: {e}"));
        // Seen by somebody else: really kept.
        assert_eq!(db.store.setting(&key).await.unwrap().as_deref(), Some("kept"), "{key}");
    }
    one.close().await;
}

/// Begins a call, looks at it so often, and gives it up wherever it is then.
async fn gives_up(store: &Store, looks: usize) {
    let (plan, card) = (plan(1), card(1));
    let audit = audit(1, AuditEvent::Proposed, &plan);
    let mut call = std::pin::pin!(store.save_plan(&plan, &card, &audit));
    let mut looked = 0;
    std::future::poll_fn(|context| {
        looked += 1;
        match call.as_mut().poll(context) {
            Poll::Pending if looked <= looks => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
}
