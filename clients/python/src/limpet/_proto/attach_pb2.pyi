from . import link_pb2 as _link_pb2
from . import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

ACTION_BIND: Action
ACTION_CANCEL: Action
ACTION_CLOSE: Action
ACTION_COMMIT: Action
ACTION_DISCARD: Action
ACTION_FIND_REPLIER: Action
ACTION_FLUSH: Action
ACTION_LAST_SENT: Action
ACTION_LEN_LEFT: Action
ACTION_MAX_MESSAGES: Action
ACTION_MAX_MESSAGE_SIZE: Action
ACTION_NEW_DEVICE: Action
ACTION_NEXT: Action
ACTION_NUM_MESSAGES: Action
ACTION_ONLY_ONCE: Action
ACTION_POLL: Action
ACTION_READ: Action
ACTION_RECEIVE: Action
ACTION_REPORT_REPLIER_BINDS: Action
ACTION_SEND: Action
ACTION_STREAM: Action
ACTION_UNBIND: Action
ACTION_UNREPLIED: Action
ACTION_UNSPECIFIED: Action
ACTION_VERBOSE: Action
ACTION_WITHDRAW: Action
ACTION_WRITE: Action
DESCRIPTOR: _descriptor.FileDescriptor
KSOCK_MODE_BOTH: KsockMode
KSOCK_MODE_READ: KsockMode
KSOCK_MODE_UNSPECIFIED: KsockMode
KSOCK_MODE_WRITE: KsockMode

class AttachHello(_message.Message):
    __slots__ = ["expected_sequence", "features", "instance_id", "mode", "protocol_version", "session_id", "window_bytes", "window_messages"]
    EXPECTED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    WINDOW_BYTES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    expected_sequence: int
    features: _containers.RepeatedScalarFieldContainer[str]
    instance_id: bytes
    mode: KsockMode
    protocol_version: int
    session_id: bytes
    window_bytes: int
    window_messages: int
    def __init__(self, protocol_version: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ..., mode: _Optional[_Union[KsockMode, str]] = ..., session_id: _Optional[bytes] = ..., instance_id: _Optional[bytes] = ..., expected_sequence: _Optional[int] = ..., window_messages: _Optional[int] = ..., window_bytes: _Optional[int] = ...) -> None: ...

class AttachRequest(_message.Message):
    __slots__ = ["ack", "batch", "error", "hello", "ping"]
    ACK_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    ack: _link_pb2.Ack
    batch: OperationBatch
    error: _link_pb2.Error
    hello: AttachHello
    ping: _link_pb2.Ping
    def __init__(self, hello: _Optional[_Union[AttachHello, _Mapping]] = ..., batch: _Optional[_Union[OperationBatch, _Mapping]] = ..., ack: _Optional[_Union[_link_pb2.Ack, _Mapping]] = ..., ping: _Optional[_Union[_link_pb2.Ping, _Mapping]] = ..., error: _Optional[_Union[_link_pb2.Error, _Mapping]] = ...) -> None: ...

class AttachResponse(_message.Message):
    __slots__ = ["ack", "batch", "error", "ping", "welcome"]
    ACK_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ack: _link_pb2.Ack
    batch: EventBatch
    error: _link_pb2.Error
    ping: _link_pb2.Ping
    welcome: AttachWelcome
    def __init__(self, welcome: _Optional[_Union[AttachWelcome, _Mapping]] = ..., batch: _Optional[_Union[EventBatch, _Mapping]] = ..., ack: _Optional[_Union[_link_pb2.Ack, _Mapping]] = ..., ping: _Optional[_Union[_link_pb2.Ping, _Mapping]] = ..., error: _Optional[_Union[_link_pb2.Error, _Mapping]] = ...) -> None: ...

class AttachWelcome(_message.Message):
    __slots__ = ["expected_sequence", "features", "grace_ms", "instance_id", "ksock", "max_message_size", "protocol_version", "session_id", "window_bytes", "window_messages"]
    EXPECTED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    KSOCK_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    WINDOW_BYTES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    expected_sequence: int
    features: _containers.RepeatedScalarFieldContainer[str]
    grace_ms: int
    instance_id: bytes
    ksock: int
    max_message_size: int
    protocol_version: int
    session_id: bytes
    window_bytes: int
    window_messages: int
    def __init__(self, protocol_version: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ..., session_id: _Optional[bytes] = ..., instance_id: _Optional[bytes] = ..., expected_sequence: _Optional[int] = ..., ksock: _Optional[int] = ..., window_messages: _Optional[int] = ..., window_bytes: _Optional[int] = ..., grace_ms: _Optional[int] = ..., max_message_size: _Optional[int] = ...) -> None: ...

class EventBatch(_message.Message):
    __slots__ = ["ack", "first_sequence", "messages", "missed", "results"]
    ACK_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    ack: int
    first_sequence: int
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    missed: int
    results: _containers.RepeatedCompositeFieldContainer[Result]
    def __init__(self, first_sequence: _Optional[int] = ..., messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., ack: _Optional[int] = ..., results: _Optional[_Iterable[_Union[Result, _Mapping]]] = ..., missed: _Optional[int] = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ["action", "after", "data", "is_replier", "message", "name", "tag", "value", "wait"]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    IS_REPLIER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    action: Action
    after: int
    data: bytes
    is_replier: bool
    message: _message_pb2.Message
    name: bytes
    tag: int
    value: int
    wait: bool
    def __init__(self, tag: _Optional[int] = ..., after: _Optional[int] = ..., action: _Optional[_Union[Action, str]] = ..., value: _Optional[int] = ..., name: _Optional[bytes] = ..., is_replier: bool = ..., wait: bool = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class OperationBatch(_message.Message):
    __slots__ = ["ack", "first_sequence", "messages", "operations"]
    ACK_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    ack: int
    first_sequence: int
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    operations: _containers.RepeatedCompositeFieldContainer[Operation]
    def __init__(self, first_sequence: _Optional[int] = ..., messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., ack: _Optional[int] = ..., operations: _Optional[_Iterable[_Union[Operation, _Mapping]]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ["after", "data", "errno", "found", "given", "id_network", "id_serial", "message", "name", "op", "tag", "value"]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ERRNO_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    GIVEN_FIELD_NUMBER: _ClassVar[int]
    ID_NETWORK_FIELD_NUMBER: _ClassVar[int]
    ID_SERIAL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    after: int
    data: bytes
    errno: str
    found: bool
    given: int
    id_network: int
    id_serial: int
    message: str
    name: str
    op: str
    tag: int
    value: int
    def __init__(self, tag: _Optional[int] = ..., after: _Optional[int] = ..., errno: _Optional[str] = ..., op: _Optional[str] = ..., name: _Optional[str] = ..., message: _Optional[str] = ..., id_network: _Optional[int] = ..., id_serial: _Optional[int] = ..., value: _Optional[int] = ..., found: bool = ..., data: _Optional[bytes] = ..., given: _Optional[int] = ...) -> None: ...

class KsockMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
