"""Every error that a broker or its client may answer with, sorted by what is to be done about it."""

from typing import Final

from kafka import errors

from schemas.errors import UserError
from worker.errors import Away, ConfigurationError
from worker.kafka.unreadable import UnreadableBatch

AWAY: Final = (
    errors.RetriableError,
    errors.BrokerNotAvailableError,
    errors.NewLeaderElectedError,
    errors.QuotaViolationError,
    errors.UnknownBrokerIdError,
    # The group has moved on, and takes the worker in again.
    errors.CommitFailedError,
    errors.FencedMemberEpochError,
    errors.IllegalGenerationError,
    errors.MemberIdRequiredError,
    errors.RebalanceInProgressError,
    errors.StaleMemberEpochError,
    errors.UnknownMemberIdError,
    # The broker has forgotten a producer; another one is welcome.
    errors.DuplicateSequenceNumberError,
    errors.InvalidProducerEpochError,
    errors.InvalidProducerIdMappingError,
    errors.OutOfOrderSequenceNumberError,
    errors.UnknownProducerIdError,
)
"""Trying again helps."""

OWN_FAULTS: Final = (errors.IllegalArgumentError, errors.IllegalStateError)
"""The worker uses the client in a wrong way: a trace says where."""

REFUSED: Final = (
    errors.AuthorizationError,
    errors.DelegationTokenAuthDisabledError,
    errors.DelegationTokenExpiredError,
    errors.DelegationTokenNotFoundError,
    errors.DelegationTokenOwnerMismatchError,
    errors.DelegationTokenRequestNotAllowedError,
    errors.IllegalSaslStateError,
    errors.InvalidPrincipalTypeError,
    errors.PrincipalDeserializationFailureError,
    errors.SaslAuthenticationFailedError,
    errors.SecurityDisabledError,
    errors.UnacceptableCredentialError,
    errors.UnsupportedSaslMechanismError,
)
"""The brokers are there, and do not trust us."""

FOREIGN: Final = (
    errors.KafkaProtocolError,
    errors.MismatchedEndpointTypeError,
    errors.UnsupportedEndpointTypeError,
)
"""Something is there that is no broker, or speaks another protocol than we do."""

_REMEDIES: Final[dict[tuple[type[errors.KafkaError], ...], str]] = {
    REFUSED: "Check WORKER_KAFKA_SECURITY_PROTOCOL, WORKER_KAFKA_SASL_MECHANISM, WORKER_KAFKA_SASL_USERNAME, "
    "WORKER_KAFKA_SASL_PASSWORD or who gives the token (WORKER_KAFKA_OAUTH_), and the rights of that user",
    FOREIGN: "Check WORKER_KAFKA_BOOTSTRAP_SERVERS and WORKER_KAFKA_SECURITY_PROTOCOL: what answers there is no "
    "broker's listener for clients, or talks another protocol",
    (
        errors.InvalidGroupIdError,
        errors.InvalidSessionTimeoutError,
        errors.InvalidTopicError,
        errors.KafkaConfigurationError,
    ): "Check the WORKER_KAFKA_ settings",
    (
        errors.GroupIdNotFoundError,
        errors.InconsistentGroupProtocolError,
        errors.UnsupportedAssignorError,
    ): "Members of another kind are in that group: give the workers one of their own by WORKER_KAFKA_GROUP_ID",
    (errors.GroupMaxSizeReachedError,): "Start fewer workers, or raise group.max.size of the brokers",
    (
        errors.FencedInstanceIdError,
        errors.UnreleasedInstanceIdError,
    ): "Another member of the group has that name: give each its own WORKER_KAFKA_INSTANCE_ID",
    (
        errors.UnrecognizedBrokerVersion,
        errors.UnsupportedCompressionTypeError,
        errors.UnsupportedForMessageFormatError,
        errors.UnsupportedVersionError,
    ): "Check the version of the brokers",
    (errors.UnsupportedCodecError,): "Install `kafka-python[lz4,snappy,zstd]`, which brings them all",
    (errors.InvalidTimestampError,): "Raise message.timestamp.before.max.ms of the topic: a record that is replayed "
    "keeps its timestamp",
    (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError): "Raise max.message.bytes of the topic; a topic "
    "of dead letters needs more than the topic of transcripts, as each record gets headers",
    (errors.InvalidRecordError,): "The topic takes no such record. One that is compacted takes none without a key: set "
    "its cleanup.policy to delete",
    (
        errors.LogTruncationError,
        errors.NoOffsetForPartitionError,
        errors.OffsetMovedToTieredStorageError,
        errors.OffsetOutOfRangeError,
    ): "The log has no record there. WORKER_KAFKA_OFFSET_OUT_OF_RANGE says where to go on",
    (
        UnreadableBatch,
        errors.CorruptRecordError,
        errors.InvalidFetchRequestError,
    ): "Look into the brokers' disks and logs. Where those records may be lost, delete them by "
    "`kafka-delete-records.sh`, up to the next offset that can be read",
    (
        errors.InvalidConfigurationError,
        errors.InvalidPartitionsError,
        errors.InvalidReplicationAssignmentError,
        errors.InvalidReplicationFactorError,
        errors.PolicyViolationError,
        errors.TopicAlreadyExistsError,
    ): "Make the topic by the brokers' own tools, as their policy wants it",
}

UNEXPECTED: Final = (
    errors.BrokerIdNotRegisteredError,
    errors.DuplicateBrokerRegistrationError,
    errors.DuplicateResourceError,
    errors.DuplicateVoterError,
    errors.FeatureUpdateFailedError,
    errors.FencedStateEpochError,
    errors.GroupSubscribedToTopicError,
    errors.InconsistentClusterIdError,
    errors.InconsistentVoterSetError,
    errors.IneligibleReplicaError,
    errors.InvalidCommitOffsetSizeError,
    errors.InvalidRecordStateError,
    errors.InvalidRegistrationError,
    errors.InvalidRequestError,
    errors.InvalidRequiredAcksError,
    errors.InvalidTransactionTimeoutError,
    errors.InvalidTxnStateError,
    errors.InvalidUpdateVersionError,
    errors.InvalidVoterKeyError,
    errors.LogDirNotFoundError,
    errors.NoError,
    errors.NoReassignmentInProgressError,
    errors.NonEmptyGroupError,
    errors.OffsetMetadataTooLargeError,
    errors.OperationNotAttemptedError,
    errors.PositionOutOfRangeError,
    errors.ProducerFencedError,
    errors.ReassignmentInProgressError,
    errors.ResourceNotFoundError,
    errors.SnapshotNotFoundError,
    errors.StaleBrokerEpochError,
    errors.StaleControllerEpochError,
    errors.TelemetryTooLargeError,
    errors.TopicDeletionDisabledError,
    errors.TransactionAbortableError,
    errors.TransactionAbortedError,
    errors.TransactionCoordinatorFencedError,
    errors.TransactionalIdNotFoundError,
    errors.UnknownControllerIdError,
    errors.UnknownError,
    errors.UnknownSubscriptionIdError,
    errors.VoterNotFoundError,
)
"""No answer to anything that the worker asks, or one that gives no reason; an error that is not listed is one too."""

SORTED: Final[dict[type[errors.KafkaError], str]] = {
    **dict.fromkeys(UNEXPECTED, "The brokers' logs say more"),
    **{kind: remedy for kinds, remedy in _REMEDIES.items() for kind in kinds},
}
"""What to do about each; of the others trying again helps, or nothing does."""


def meaning_of(error: errors.KafkaError, doing: str) -> UserError | None:
    """Return what an error means to the worker, or None for a fault of its own.

    Args:
        error: of the client.
        doing: what failed, as an infinitive.
    """
    if isinstance(error, OWN_FAULTS):
        return None
    if isinstance(error, AWAY):
        return Away(f"Kafka is away, cannot {doing}: {error!r}")
    remedy = next((SORTED[kind] for kind in type(error).__mro__ if kind in SORTED), SORTED[errors.UnknownError])
    said = " ".join(str(error).split())
    description = getattr(error, "description", None)
    if description and not error.args:
        said += f" ({description.rstrip('.')})"
    return ConfigurationError(
        f"Kafka {'refuses to' if isinstance(error, REFUSED) else 'cannot'} {doing}: {said}. {remedy}"
    )
