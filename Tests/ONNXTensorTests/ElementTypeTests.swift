import ONNXTensor
import Testing

@Suite struct ElementTypeTests {
  @Test func numbersAreThoseOfTheStandard() {
    #expect(ElementType.allCases.map(\.rawValue) == Array(1...28))
    #expect(ElementType(rawValue: 0) == nil)
    #expect(ElementType(rawValue: 29) == nil)
  }

  @Test func swiftTypesHaveTheWidthOfTheirElement() {
    func check<T: TensorElement>(_ type: T.Type) {
      #expect(MemoryLayout<T>.size * 8 == T.elementType.bitWidth, "\(T.self)")
      #expect(MemoryLayout<T>.stride == MemoryLayout<T>.size, "\(T.self)")
    }
    check(Float.self)
    check(Double.self)
    check(Float16.self)
    check(BFloat16.self)
    check(Int8.self)
    check(UInt8.self)
    check(Int16.self)
    check(UInt16.self)
    check(Int32.self)
    check(UInt32.self)
    check(Int64.self)
    check(UInt64.self)
    check(Bool.self)
  }

  @Test(arguments: ElementType.allCases) func byteCountsRoundUp(type: ElementType) {
    #expect(type.byteCount(elements: 0) == 0)
    for count in 1...17 {
      let bytes = type.byteCount(elements: count) ?? -1
      #expect(bytes * 8 >= count * type.bitWidth && bytes * 8 < count * type.bitWidth + 8, "\(count) elements")
    }
  }

  @Test(arguments: ElementType.allCases.filter { $0 != .string }) func impossibleCountsHaveNoByteCount(
    type: ElementType
  ) {
    #expect(type.byteCount(elements: -1) == nil)
    #expect(type.byteCount(elements: .min) == nil)
    // The bits must fit an Int: types of 8 bits and more overflow there, narrower ones stay below.
    #expect((type.byteCount(elements: .max) == nil) == (type.bitWidth > 1))
    #expect(type.byteCount(elements: Int.max / type.bitWidth - 8) != nil)
  }

  @Test func kindsExcludeEachOther() {
    for type in ElementType.allCases { #expect(!(type.isInteger && type.isFloatingPoint), "\(type)") }
    #expect(ElementType.allCases.count(where: \.isInteger) == 12)
    #expect(ElementType.allCases.count(where: \.isFloatingPoint) == 12)
    #expect(Set(ElementType.allCases.map(\.name)).count == 28)
  }
}
