from django.db import models

from accounts.models import Organization


class StoredAnswer(models.Model):
    """What an upstream keeps for an organization, by the upstream's id, and the route that made it.

    `kind` is the endpoint that made it. Like an event's, what it points to is checked by the worker.
    """

    organization = models.ForeignKey(
        Organization, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    kind = models.CharField(max_length=40)
    upstream_id = models.CharField(max_length=512)
    # Public id.
    model = models.CharField(max_length=200)
    route = models.BigIntegerField()
    made_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kind", "upstream_id"], name="one_stored_answer_per_organization_and_id"
            )
        ]
        indexes = [models.Index(fields=["made_at"], name="stored_answers_by_age")]

    def __str__(self) -> str:
        return self.upstream_id
