from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListNetworksRequest(_message.Message):
    __slots__ = ["page_size", "page_token"]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListNetworksResponse(_message.Message):
    __slots__ = ["networks", "next_page_token"]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    networks: _containers.RepeatedCompositeFieldContainer[ReachableNetwork]
    next_page_token: str
    def __init__(self, networks: _Optional[_Iterable[_Union[ReachableNetwork, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ReachableNetwork(_message.Message):
    __slots__ = ["behind", "instance_id", "link", "network_id", "version"]
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    NETWORK_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    behind: bool
    instance_id: str
    link: str
    network_id: int
    version: str
    def __init__(self, network_id: _Optional[int] = ..., link: _Optional[str] = ..., behind: bool = ..., instance_id: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...
