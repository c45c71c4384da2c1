//! The words of the face, in one place so that they can be changed or translated together: what is said of a
//! verb before, during and after, and the German descriptions of commands.

use gantry_core::action::Verb;

/// What is said of a verb around a target's name.
#[derive(Debug, Clone, Copy)]
pub struct VerbWords {
    /// Before: `Delete web-0`.
    pub todo: &'static str,
    /// While: `Deleting web-0`.
    pub doing: &'static str,
    /// After: `web-0 deleted`.
    pub done: &'static str,
    /// In `could not … web-0`.
    pub bare: &'static str,
}

/// The words for a verb.
pub fn verb(verb: Verb) -> VerbWords {
    let (todo, doing, done, bare) = match verb {
        Verb::GuestStart | Verb::PodStart => ("Start", "Starting", "started", "start"),
        Verb::GuestShutdown | Verb::GuestStop | Verb::PodStop => {
            ("Shut down", "Shutting down", "shut down", "shut down")
        }
        Verb::GuestKill | Verb::PodKill => {
            ("Pull the plug of", "Pulling the plug of", "switched off", "pull the plug of")
        }
        Verb::GuestReboot | Verb::PodRestart => ("Restart", "Restarting", "restarted", "restart"),
        Verb::GuestSuspend => ("Suspend", "Suspending", "suspended", "suspend"),
        Verb::GuestResume => ("Resume", "Resuming", "resumed", "resume"),
        Verb::GuestDelete | Verb::PodDelete => ("Delete", "Deleting", "deleted", "delete"),
        Verb::PodApply | Verb::PodUpdate => ("Change", "Changing", "changed", "change"),
        Verb::PodClean => ("Clean up", "Cleaning up", "cleaned up", "clean up"),
        Verb::PodCreate => ("Create", "Creating", "created", "create"),
        Verb::BridgeCreate | Verb::VnetCreate => ("Create", "Creating", "created", "create"),
        Verb::BridgeSecure => ("Secure", "Securing", "secured", "secure"),
        Verb::BridgeDelete | Verb::VnetDelete => ("Remove", "Removing", "removed", "remove"),
        Verb::BridgeApply | Verb::VnetApply => (
            "Apply what is pending on",
            "Applying what is pending on",
            "applied",
            "apply what is pending on",
        ),
        Verb::BridgeRevert | Verb::VnetRevert => (
            "Drop what is pending on",
            "Dropping what is pending on",
            "dropped",
            "drop what is pending on",
        ),
        Verb::ForwardAdd => ("Forward", "Forwarding", "in force", "forward"),
        Verb::ForwardRemove => ("Remove", "Removing", "removed", "remove"),
        Verb::ForwardApply => ("Apply", "Applying", "applied", "apply"),
        Verb::GuestUnlock => ("Unlock", "Unlocking", "unlocked", "unlock"),
        Verb::ImagePull => ("Fetch", "Fetching", "fetched", "fetch"),
        Verb::ImagePrepare => ("Prepare", "Preparing", "prepared", "prepare"),
        Verb::ImageConvert => ("Convert", "Converting", "converted", "convert"),
        Verb::ImageDelete | Verb::ImagePrune => ("Delete", "Deleting", "deleted", "delete"),
        Verb::TaskCancel => ("Stop task", "Stopping task", "stopped", "stop task"),
        Verb::SetCreate => ("Create set", "Creating set", "created", "create set"),
        Verb::SetApply => ("Apply to set", "Applying to set", "applied", "apply to set"),
        Verb::SetScale => ("Scale set", "Scaling set", "scaled", "scale set"),
        Verb::SetRollout => ("Roll out set", "Rolling out set", "rolled out", "roll out set"),
        Verb::SetPause => {
            ("Pause rollout of", "Pausing rollout of", "paused", "pause the rollout of")
        }
        Verb::SetResume => {
            ("Resume rollout of", "Resuming rollout of", "resumed", "resume the rollout of")
        }
        Verb::SetUndo => ("Undo rollout of", "Undoing rollout of", "undone", "undo the rollout of"),
        Verb::SetDelete => ("Delete set", "Deleting set", "deleted", "delete set"),
        Verb::SetDrift => ("Restore", "Restoring a pod of", "settled", "settle a change of"),
        Verb::AlertAck => ("Acknowledge", "Acknowledging", "acknowledged", "acknowledge"),
        Verb::AlertSilence => ("Silence", "Silencing", "silenced", "silence"),
        Verb::BoardCreate => ("Put up", "Putting up", "put up", "put up"),
        Verb::BoardDelete => ("Take down", "Taking down", "taken down", "take down"),
        Verb::AlertNote => ("Note on", "Noting", "noted", "note on"),
        Verb::AlertTest => ("Test", "Testing", "tested", "test"),
        Verb::RuleEnable => ("Switch on", "Switching on", "switched on", "switch on"),
        Verb::RuleDisable => ("Switch off", "Switching off", "switched off", "switch off"),
        Verb::RuleOverride => ("Override", "Overriding", "overridden", "override"),
        Verb::MaintenanceStart => ("Begin", "Beginning", "begun", "begin maintenance of"),
        Verb::MaintenanceEnd => ("End", "Ending", "ended", "end"),
        Verb::OncallOverride => ("Stand in", "Standing in", "noted", "put on call"),
        Verb::SetMember => ("Keep up", "Keeping up", "kept up", "keep up"),
        _ => ("Show", "Showing", "shown", "show"),
    };
    VerbWords { todo, doing, done, bare }
}

/// The slash command that asks for a verb: `/guest delete`.
pub fn command(verb: Verb) -> String {
    format!("/{}", verb.as_str().replace('.', " "))
}

/// German descriptions of commands, by full name. A command without one shows the English words.
pub const GERMAN: &[(&str, &str)] = &[
    ("cluster", "Cluster"),
    ("cluster status", "Zustand eines Clusters: Quorum, Knoten, Speicher"),
    ("node", "Knoten"),
    ("node list", "Alle Knoten"),
    ("node status", "Ein Knoten: Last, Gäste, Speicher"),
    ("graph", "Verlauf als Bild"),
    ("graph guest", "Ein Gast im Lauf der Zeit"),
    ("graph node", "Ein Knoten im Lauf der Zeit"),
    ("graph storage", "Wie voll ein Speicher war"),
    ("graph compare", "Mehrere Gäste nebeneinander"),
    ("board", "Statustafeln: eine Nachricht, die aktuell bleibt"),
    ("board list", "Tafeln dieses Servers"),
    ("board create", "Eine Tafel in diesen Kanal; alle hier sehen, was du sehen darfst"),
    ("board delete", "Die Tafel dieses Kanals oder eine andere abnehmen"),
    ("report", "Platz, Verbrauch, Sicherungen und Vorfälle der letzten Tage"),
    ("alert", "Alarme: was nicht stimmt"),
    ("alert list", "Was gerade nicht stimmt"),
    ("alert show", "Ein Vorfall mit Verlauf"),
    ("alert ack", "Einen Vorfall übernehmen"),
    ("alert silence", "Einen Vorfall für eine Weile stumm schalten"),
    ("alert note", "Etwas zu einem Vorfall aufschreiben"),
    ("alert explain", "Warum etwas gemeldet wird oder nicht"),
    ("alert history", "Frühere Vorfälle"),
    ("alert test", "Eine Probemeldung in den Alarmkanal"),
    ("rule", "Regeln für Alarme"),
    ("rule list", "Alle Regeln"),
    ("rule show", "Eine Regel, und was dieser Server daraus gemacht hat"),
    ("rule enable", "Eine Regel einschalten"),
    ("rule disable", "Eine Regel ausschalten"),
    ("rule override", "Andere Werte für eine Regel auf diesem Server"),
    ("maintenance", "Wartung: solange wird nichts gemeldet"),
    ("maintenance list", "Laufende Wartungen und Stummschaltungen"),
    ("maintenance start", "Wartung eines Gastes, Knotens oder Clusters beginnen"),
    ("maintenance end", "Wartung oder Stummschaltung beenden"),
    ("oncall", "Bereitschaft"),
    ("oncall show", "Wer Bereitschaft hat"),
    ("oncall override", "Jemand springt ein"),
    ("guest", "Container und virtuelle Maschinen"),
    ("guest list", "Gäste, die du sehen darfst"),
    ("guest show", "Ein Gast, frisch gelesen"),
    ("guest start", "Einen Gast starten"),
    ("guest shutdown", "Einen Gast herunterfahren"),
    ("guest stop", "Dasselbe wie shutdown: zieht nie den Stecker"),
    ("guest kill", "Stecker ziehen: ungespeicherte Daten gehen verloren"),
    ("guest reboot", "Einen Gast neu starten"),
    ("guest suspend", "Einen Gast einfrieren"),
    ("guest resume", "Einen eingefrorenen Gast fortsetzen"),
    ("guest unlock", "Eine Sperre lösen, die eine abgebrochene Aufgabe hinterlassen hat"),
    ("guest delete", "Einen Gast mit seinen Platten löschen"),
    ("pod", "Container, die gantry gehören"),
    ("pod create", "Einen Pod anlegen"),
    ("pod apply", "Einen Pod aus einer Datei anlegen oder angleichen"),
    ("pod spec", "Die Beschreibung eines Pods als Datei"),
    ("pod update", "Grenzen eines Pods ändern: Kerne, Speicher, Platte"),
    ("pod list", "Alle Pods"),
    ("pod show", "Ein Pod"),
    ("pod start", "Einen Pod starten"),
    ("pod stop", "Einen Pod herunterfahren"),
    ("pod kill", "Einem Pod den Stecker ziehen"),
    ("pod restart", "Einen Pod neu starten"),
    ("pod delete", "Einen Pod mit seinen Platten löschen"),
    ("set", "Mehrere Pods aus einer Vorlage, jeder mit eigener Identität"),
    ("set create", "Ein Set anlegen"),
    ("set apply", "Ein Set so machen, wie eine Datei es sagt"),
    ("set list", "Alle Sets"),
    ("set show", "Ein Set mit seinen Pods"),
    ("set scale", "Die Zahl der Pods ändern"),
    ("set rollout", "Pods durch neuere ersetzen"),
    ("set rollout start", "Alle Pods nacheinander ersetzen, auch mit neuem Image"),
    ("set rollout status", "Wie weit ein Rollout ist"),
    ("set rollout pause", "Einen Rollout anhalten"),
    ("set rollout resume", "Einen Rollout fortsetzen"),
    ("set rollout undo", "Zu einer früheren Revision zurück"),
    ("set delete", "Ein Set mit seinen Pods löschen; Volumes bleiben"),
    ("set history", "Revisionen eines Sets mit Unterschieden"),
    ("bridge", "Bridges eines Knotens"),
    ("bridge list", "Die Bridges eines Knotens, und was dort ansteht"),
    ("bridge show", "Eine Bridge mit allen Einstellungen"),
    ("bridge create", "Eine Bridge anlegen; zurückgenommen, wenn niemand Keep drückt"),
    ("bridge secure", "Eine Bridge absichern"),
    ("bridge delete", "Eine Bridge entfernen, die kein Gast benutzt"),
    ("bridge apply", "Anwenden, was jemand auf einem Knoten vorgemerkt hat"),
    ("bridge revert", "Verwerfen, was jemand auf einem Knoten vorgemerkt hat"),
    ("vnet", "Netze über alle Knoten (SDN)"),
    ("vnet list", "Zonen, Vnets und Subnetze, und was ansteht"),
    ("vnet create", "Ein Vnet anlegen, bei Bedarf mit seiner Zone"),
    ("vnet delete", "Ein Vnet mit seinen Subnetzen entfernen"),
    ("vnet apply", "Anwenden, was jemand im SDN vorgemerkt hat"),
    ("vnet revert", "Verwerfen, was jemand im SDN vorgemerkt hat"),
    ("forward", "Ports von Knoten, die zu Gästen führen"),
    ("forward list", "Alle Weiterleitungen, und ob sie in Kraft sind"),
    ("forward add", "Einen Port eines Knotens zu einem Gast führen"),
    ("forward remove", "Eine Weiterleitung entfernen"),
    ("forward apply", "Die Tabelle eines Knotens so machen, wie sie verlangt wurde"),
    ("image", "Images: woraus Gäste gemacht werden"),
    ("image list", "Images auf den Speichern, die du sehen darfst"),
    ("image show", "Ein Image, frisch gelesen: wo es liegt, wer es nutzt, was es gibt"),
    ("image pull", "Ein Image auf einen Speicher holen"),
    ("image prepare", "Ein Image dort bereitlegen, wo es gebraucht wird"),
    ("image convert", "Einen Gast zur Vorlage machen, eine Platte oder ein Abbild umwandeln"),
    ("image cache", "Was gantry geholt hat, und was es belegt"),
    ("image used-by", "Wer ein Image nutzt"),
    ("image prune", "Images löschen, die gantry geholt hat und niemand nutzt"),
    ("image delete", "Ein Image löschen, das niemand nutzt"),
    ("task", "Aufgaben in Proxmox"),
    ("task list", "Aufgaben eines Clusters"),
    ("task show", "Eine Aufgabe"),
    ("task log", "Protokoll einer Aufgabe"),
    ("task cancel", "Eine laufende Aufgabe stoppen"),
    ("op", "Vorgänge von gantry"),
    ("op list", "Vorgänge"),
    ("op show", "Ein Vorgang mit seinen Schritten"),
    ("audit", "Wer hat was verlangt"),
    ("audit list", "Wer hat was verlangt, und was wurde daraus"),
    ("help", "Was du hier tun darfst, mit Beispielen"),
    ("whoami", "Für wen gantry dich hält, und was du darfst"),
];
