"""The personal data of the orders service."""

from shared.downloads.personal_data import Part

PARTS = (
    Part(
        "orders",
        """
        SELECT id, status, currency, total, item_count, reference, created_at, updated_at, (
            SELECT json_agg(json_build_object(
                'sku', sku, 'name', name, 'quantity', quantity, 'unit_price', unit_price
            ) ORDER BY position)
            FROM order_items WHERE order_items.user_id = orders.user_id AND order_id = orders.id
        ) AS items
        FROM orders WHERE user_id = $1 ORDER BY id
        """,
    ),
)
