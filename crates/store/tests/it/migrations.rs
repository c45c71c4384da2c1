//! Migrations come in pairs, run on tables that are not empty, all or none, and never on a stranger's.

use std::collections::BTreeSet;
use std::path::Path;

use gantry_store::testing;
use gantry_store::{Store, StoreError};

#[test]
fn every_migration_is_there_twice_with_samples_and_in_the_binary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(root.join(folder)).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    };
    let embedded: BTreeSet<String> =
        testing::migrations().iter().map(|(name, _)| format!("{name}.sql")).collect();
    for folder in ["sqlite", "postgres", "samples"] {
        assert_eq!(
            names(folder),
            embedded,
            "migrations/{folder} and crates/store/src/migration.rs"
        );
    }
    for (n, (name, whole)) in testing::migrations().iter().enumerate() {
        assert!(whole, "{name} is empty on one side");
        assert!(name.starts_with(&format!("{:04}_", n + 1)), "{name} leaves a gap");
    }
}

both! { @empty
    async fn they_run_on_tables_with_rows(db: Db) {
        let pending = db.store.pending().await.unwrap();
        assert_eq!(pending.first().map(String::as_str), Some("0001_start"));
        let applied = testing::migrate_with_samples(&db.store).await.unwrap();
        assert_eq!(applied, pending);
        assert!(db.store.pending().await.unwrap().is_empty());
        assert!(db.store.migrate().await.unwrap().is_empty());
        for table in
            ["cards", "plans", "operations", "audit", "interactions", "pods", "screens", "settings", "counters"]
        {
            let rows = testing::number(&db.store, &format!("SELECT COUNT(*) FROM {table}")).await;
            assert!(rows.unwrap() > 0, "no sample row in {table}");
        }
    }

    async fn started_by_several_at_once_they_run_once(db: Db) {
        let tasks: Vec<_> = (0..6)
            .map(|_| {
                let store = db.store.clone();
                tokio::spawn(async move { store.migrate().await.unwrap().len() })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        assert_eq!(sum, testing::migrations().len());
    }

    async fn calls_before_them_say_what_to_run(db: Db) {
        let error = db.store.setting("x").await.unwrap_err();
        assert!(matches!(error, StoreError::NotSetUp { .. }), "{error:?}");
        assert!(error.to_string().contains("gantry migrate"), "{error}");
    }
}

both! {
    async fn a_newer_database_is_refused(db: Db) {
        let insert = "INSERT INTO migrations (version, name, sha256) VALUES (9999, '9999_future', 'x')";
        testing::execute(&db.store, insert).await.unwrap();
        for error in [
            db.store.migrate().await.unwrap_err(),
            db.store.pending().await.unwrap_err(),
            { db.store.close().await; Store::open(&db.url).await.unwrap_err() },
        ] {
            assert!(matches!(error, StoreError::Newer { found: 9999, .. }), "{error:?}");
            assert!(error.to_string().contains("was made by a newer gantry"), "{error}");
        }
    }

    async fn an_altered_migration_is_refused(db: Db) {
        testing::execute(&db.store, "UPDATE migrations SET sha256 = 'x'").await.unwrap();
        let error = db.store.migrate().await.unwrap_err();
        assert!(matches!(error, StoreError::Altered { .. }), "{error:?}");
    }

    async fn every_text_is_understood(db: Db) {
        let (texts, refused) = testing::prepare_all(&db.store).await.unwrap();
        assert!(texts > 50);
        assert!(refused.is_empty(), "{refused:#?}");
    }
}
