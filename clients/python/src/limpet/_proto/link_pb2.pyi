from . import explain_pb2 as _explain_pb2
from . import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
ERROR_CODE_BAD_NETWORK_ID: ErrorCode
ERROR_CODE_BUS: ErrorCode
ERROR_CODE_CLASH: ErrorCode
ERROR_CODE_EXPIRED: ErrorCode
ERROR_CODE_GOING_AWAY: ErrorCode
ERROR_CODE_LOOP: ErrorCode
ERROR_CODE_NOT_AUTHORISED: ErrorCode
ERROR_CODE_PROTOCOL: ErrorCode
ERROR_CODE_REPLACED: ErrorCode
ERROR_CODE_SAME_NETWORK_ID: ErrorCode
ERROR_CODE_STALLED: ErrorCode
ERROR_CODE_UNSPECIFIED: ErrorCode
ERROR_CODE_VERSION: ErrorCode

class Ack(_message.Message):
    __slots__ = ["sequence"]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ["ack", "first_sequence", "messages"]
    ACK_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ack: int
    first_sequence: int
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    def __init__(self, first_sequence: _Optional[int] = ..., messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., ack: _Optional[int] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ["done", "reason"]
    DONE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    done: bool
    reason: str
    def __init__(self, reason: _Optional[str] = ..., done: bool = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ["code", "message", "network_id"]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_ID_FIELD_NUMBER: _ClassVar[int]
    code: ErrorCode
    message: str
    network_id: int
    def __init__(self, code: _Optional[_Union[ErrorCode, str]] = ..., message: _Optional[str] = ..., network_id: _Optional[int] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ["ack", "batch", "drain", "error", "explain", "explained", "greeting", "interest", "ping", "table", "topology"]
    ACK_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    EXPLAINED_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    GREETING_FIELD_NUMBER: _ClassVar[int]
    INTEREST_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    ack: Ack
    batch: Batch
    drain: Drain
    error: Error
    explain: _explain_pb2.ExplainQuestion
    explained: _explain_pb2.ExplainAnswer
    greeting: Greeting
    interest: Interest
    ping: Ping
    table: Table
    topology: Topology
    def __init__(self, greeting: _Optional[_Union[Greeting, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., topology: _Optional[_Union[Topology, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., interest: _Optional[_Union[Interest, _Mapping]] = ..., table: _Optional[_Union[Table, _Mapping]] = ..., explain: _Optional[_Union[_explain_pb2.ExplainQuestion, _Mapping]] = ..., explained: _Optional[_Union[_explain_pb2.ExplainAnswer, _Mapping]] = ...) -> None: ...

class Greeting(_message.Message):
    __slots__ = ["expected_sequence", "features", "instance_id", "link_id", "max_message_size", "network_id", "pattern", "protocol_version", "session_id", "software", "topology", "window_bytes", "window_messages"]
    EXPECTED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    LINK_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_ID_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    WINDOW_BYTES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    expected_sequence: int
    features: _containers.RepeatedScalarFieldContainer[str]
    instance_id: bytes
    link_id: bytes
    max_message_size: int
    network_id: int
    pattern: str
    protocol_version: int
    session_id: bytes
    software: str
    topology: Topology
    window_bytes: int
    window_messages: int
    def __init__(self, protocol_version: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ..., network_id: _Optional[int] = ..., instance_id: _Optional[bytes] = ..., link_id: _Optional[bytes] = ..., pattern: _Optional[str] = ..., max_message_size: _Optional[int] = ..., window_messages: _Optional[int] = ..., window_bytes: _Optional[int] = ..., topology: _Optional[_Union[Topology, _Mapping]] = ..., session_id: _Optional[bytes] = ..., expected_sequence: _Optional[int] = ..., software: _Optional[str] = ...) -> None: ...

class Interest(_message.Message):
    __slots__ = ["restart", "unwanted", "wanted", "whole"]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    UNWANTED_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    restart: bool
    unwanted: _containers.RepeatedScalarFieldContainer[str]
    wanted: _containers.RepeatedScalarFieldContainer[str]
    whole: bool
    def __init__(self, restart: bool = ..., wanted: _Optional[_Iterable[str]] = ..., unwanted: _Optional[_Iterable[str]] = ..., whole: bool = ...) -> None: ...

class LinkRequest(_message.Message):
    __slots__ = ["frame"]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    frame: Frame
    def __init__(self, frame: _Optional[_Union[Frame, _Mapping]] = ...) -> None: ...

class LinkResponse(_message.Message):
    __slots__ = ["frame"]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    frame: Frame
    def __init__(self, frame: _Optional[_Union[Frame, _Mapping]] = ...) -> None: ...

class Network(_message.Message):
    __slots__ = ["instance_id", "network_id", "software"]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    NETWORK_ID_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    instance_id: bytes
    network_id: int
    software: str
    def __init__(self, network_id: _Optional[int] = ..., instance_id: _Optional[bytes] = ..., software: _Optional[str] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ["received_sequence"]
    RECEIVED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    received_sequence: int
    def __init__(self, received_sequence: _Optional[int] = ...) -> None: ...

class Table(_message.Message):
    __slots__ = ["begin", "digest", "end", "resync"]
    class Begin(_message.Message):
        __slots__ = []
        def __init__(self) -> None: ...
    class Digest(_message.Message):
        __slots__ = ["names", "sum"]
        NAMES_FIELD_NUMBER: _ClassVar[int]
        SUM_FIELD_NUMBER: _ClassVar[int]
        names: int
        sum: int
        def __init__(self, names: _Optional[int] = ..., sum: _Optional[int] = ...) -> None: ...
    class End(_message.Message):
        __slots__ = []
        def __init__(self) -> None: ...
    class Resync(_message.Message):
        __slots__ = []
        def __init__(self) -> None: ...
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    RESYNC_FIELD_NUMBER: _ClassVar[int]
    begin: Table.Begin
    digest: Table.Digest
    end: Table.End
    resync: Table.Resync
    def __init__(self, digest: _Optional[_Union[Table.Digest, _Mapping]] = ..., resync: _Optional[_Union[Table.Resync, _Mapping]] = ..., begin: _Optional[_Union[Table.Begin, _Mapping]] = ..., end: _Optional[_Union[Table.End, _Mapping]] = ...) -> None: ...

class Topology(_message.Message):
    __slots__ = ["amends", "networks", "removed_network_ids"]
    AMENDS_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_NETWORK_IDS_FIELD_NUMBER: _ClassVar[int]
    amends: bool
    networks: _containers.RepeatedCompositeFieldContainer[Network]
    removed_network_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, networks: _Optional[_Iterable[_Union[Network, _Mapping]]] = ..., amends: bool = ..., removed_network_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class ErrorCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
