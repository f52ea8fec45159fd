from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BindEvent(_message.Message):
    __slots__ = ["binder", "is_bind", "name"]
    BINDER_FIELD_NUMBER: _ClassVar[int]
    IS_BIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    binder: int
    is_bind: bool
    name: str
    def __init__(self, is_bind: bool = ..., binder: _Optional[int] = ..., name: _Optional[str] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ["bind_event", "data", "expires_in_ms", "final_to_local", "final_to_network", "flags", "id_network", "id_serial", "in_reply_to_network", "in_reply_to_serial", "name", "orig_from_local", "orig_from_network", "to", "trace_context"]
    BIND_EVENT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_IN_MS_FIELD_NUMBER: _ClassVar[int]
    FINAL_TO_LOCAL_FIELD_NUMBER: _ClassVar[int]
    FINAL_TO_NETWORK_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    ID_NETWORK_FIELD_NUMBER: _ClassVar[int]
    ID_SERIAL_FIELD_NUMBER: _ClassVar[int]
    IN_REPLY_TO_NETWORK_FIELD_NUMBER: _ClassVar[int]
    IN_REPLY_TO_SERIAL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORIG_FROM_LOCAL_FIELD_NUMBER: _ClassVar[int]
    ORIG_FROM_NETWORK_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    TRACE_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    bind_event: BindEvent
    data: bytes
    expires_in_ms: int
    final_to_local: int
    final_to_network: int
    flags: int
    id_network: int
    id_serial: int
    in_reply_to_network: int
    in_reply_to_serial: int
    name: str
    orig_from_local: int
    orig_from_network: int
    to: int
    trace_context: bytes
    def __init__(self, id_network: _Optional[int] = ..., id_serial: _Optional[int] = ..., in_reply_to_network: _Optional[int] = ..., in_reply_to_serial: _Optional[int] = ..., to: _Optional[int] = ..., orig_from_network: _Optional[int] = ..., orig_from_local: _Optional[int] = ..., final_to_network: _Optional[int] = ..., final_to_local: _Optional[int] = ..., flags: _Optional[int] = ..., name: _Optional[str] = ..., data: _Optional[bytes] = ..., bind_event: _Optional[_Union[BindEvent, _Mapping]] = ..., expires_in_ms: _Optional[int] = ..., trace_context: _Optional[bytes] = ..., **kwargs) -> None: ...
