"""The personal data of the users service. Excludes hashes and tokens, which are not personal data and would help an
attacker."""

from shared.downloads.personal_data import Part

PARTS = (
    Part(
        "profile",
        "SELECT id, email, name, role, avatar_url, created_at, updated_at FROM users WHERE id = $1",
        many=False,
    ),
    Part("sessions", "SELECT id, created_at, expires_at FROM sessions WHERE user_id = $1 ORDER BY id"),
    Part(
        "audit",
        "SELECT id, action, detail, address, request_id, created_at FROM audit "
        "WHERE actor_id = $1 OR actor_id IS NULL AND subject_id = $1 ORDER BY id",
    ),
)
